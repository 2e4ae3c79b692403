"""What the tests share: where the server is, and the two clients with one face."""

import os
from dataclasses import dataclass
from types import ModuleType

import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client

# 2.73 for a server that keeps the newer contract, 2.51 for the older real one.
VERSION = os.environ.get("SERVER_VERSION", "2.73")


@dataclass
class Wire:
    """One protocol: its client, its module, and what differs between the two."""

    name: str
    module: ModuleType
    client: object

    def input(self, name, array, wire, binary=True):
        tensor = self.module.InferInput(name, list(array.shape), wire)
        if self.name == "http":
            tensor.set_data_from_numpy(array, binary_data=binary)
        else:
            tensor.set_data_from_numpy(array)
        return tensor

    def output(self, name, binary=True, class_count=0):
        if self.name == "http":
            return self.module.InferRequestedOutput(name, binary_data=binary, class_count=class_count)
        return self.module.InferRequestedOutput(name, class_count=class_count)

    def as_dict(self, method, *args, **kwargs):
        """Both clients give plain dictionaries then; of gRPC's, 64-bit integers are texts."""
        if self.name == "grpc":
            kwargs["as_json"] = True
        return getattr(self.client, method)(*args, **kwargs)


def make(name):
    if name == "http":
        client = http_client.InferenceServerClient(os.environ["HTTP_ADDRESS"], concurrency=8, network_timeout=60, connection_timeout=60)
        return Wire(name, http_client, client)
    return Wire(name, grpc_client, grpc_client.InferenceServerClient(os.environ["GRPC_ADDRESS"]))


@pytest.fixture(params=["http", "grpc"])
def wire(request):
    made = make(request.param)
    yield made
    made.client.close()


@pytest.fixture
def http():
    made = make("http")
    yield made
    made.client.close()


@pytest.fixture
def grpc():
    made = make("grpc")
    yield made
    made.client.close()
