"""A Python-based backend named `onnxruntime` for the real tritonserver: runs the ONNX file of a model's version, one request after the other."""

import os
import sys

# Triton's interpreter does not look at PYTHONPATH by itself.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy
import onnxruntime
import triton_python_backend_utils as backend

TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}


def open_session(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto):
        config = auto.as_dict()
        if config["input"] and config["output"]:
            return auto
        # The model's place is not told here.
        for root in os.environ["MODEL_ROOTS"].split(os.pathsep):
            file = os.path.join(root, config["name"], "1", "model.onnx")
            if os.path.exists(file):
                session = open_session(file)
        auto.set_max_batch_size(config["max_batch_size"] or 4)
        auto.set_dynamic_batching()
        for tensor in session.get_inputs():
            auto.add_input({"name": tensor.name, "data_type": TYPES[tensor.type], "dims": [d if isinstance(d, int) else -1 for d in tensor.shape[1:]]})
        for tensor in session.get_outputs():
            auto.add_output({"name": tensor.name, "data_type": TYPES[tensor.type], "dims": [d if isinstance(d, int) else -1 for d in tensor.shape[1:]]})
        return auto

    def initialize(self, args):
        self.session = open_session(os.path.join(args["model_repository"], args["model_version"], "model.onnx"))
        self.inputs = [(tensor.name, tensor.type) for tensor in self.session.get_inputs()]

    def execute(self, requests):
        responses = []
        for request in requests:
            try:
                names = list(request.requested_output_names())
                outputs = self.session.run(names, {name: self.array(request, name, kind) for name, kind in self.inputs})
                tensors = [backend.Tensor(name, encoded(output)) for name, output in zip(names, outputs)]
                responses.append(backend.InferenceResponse(output_tensors=tensors))
            except Exception as thrown:
                responses.append(backend.InferenceResponse(error=backend.TritonError(str(thrown))))
        return responses

    def array(self, request, name, kind):
        array = backend.get_input_tensor_by_name(request, name).as_numpy()
        if kind == "tensor(string)":
            return numpy.array([text.decode() for text in array.reshape(-1)], dtype=object).reshape(array.shape)
        return array


def encoded(array):
    if array.dtype != object:
        return array
    return numpy.array([text.encode() for text in array.reshape(-1)], dtype=object).reshape(array.shape)
