import os

import litserve
import numpy

from model import load_model


class Predict(litserve.LitAPI):
    def setup(self, device):
        self.session = load_model()

    def decode_request(self, request):
        return numpy.asarray(request["x"], dtype=numpy.float32)

    def batch(self, inputs):
        return numpy.stack(inputs)

    def predict(self, x):
        return self.session.run(["y"], {"x": x})[0]

    def unbatch(self, outputs):
        return list(outputs)

    def encode_response(self, output):
        return {"y": output.tolist()}


if __name__ == "__main__":
    api = Predict(max_batch_size=16, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    port = int(os.environ["BENCH_PORT"])
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="error", access_log=False, generate_client_file=False)
