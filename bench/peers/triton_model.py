"""Triton's Python backend: gets the requests that Triton put together, and runs them as one batch."""

import os
import sys

# Triton's interpreter does not look at PYTHONPATH by itself.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy
import triton_python_backend_utils as backend

from model import load_model


class TritonPythonModel:
    def initialize(self, args):
        self.session = load_model()

    def execute(self, requests):
        inputs = [backend.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        y = self.session.run(["y"], {"x": inputs[0] if len(inputs) == 1 else numpy.concatenate(inputs)})[0]
        responses = []
        start = 0
        for x in inputs:
            rows = y[start : start + len(x)]
            start += len(x)
            responses.append(backend.InferenceResponse(output_tensors=[backend.Tensor("y", rows)]))
        return responses
