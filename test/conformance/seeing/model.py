"""Says how many executions were seen at once, of all models that share a folder; waits for as many as wanted, for a while."""

import json
import os
import sys
import time
import uuid

# Triton's interpreter does not look at PYTHONPATH by itself.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.folder = parameters["folder"]["string_value"]
        self.wanted = int(parameters["wanted"]["string_value"])

    def execute(self, requests):
        return [self.run() for _ in requests]

    def run(self):
        mine = os.path.join(self.folder, uuid.uuid4().hex)
        open(mine, "x").close()
        seen = 0
        end = time.monotonic() + 0.5
        while seen < self.wanted and time.monotonic() < end:
            seen = max(seen, len(os.listdir(self.folder)))
            time.sleep(0.005)
        os.remove(mine)
        return pb_utils.InferenceResponse([pb_utils.Tensor("seen", np.array([seen], np.int32))])
