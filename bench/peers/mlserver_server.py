import numpy
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from model import load_model


class Predict(MLModel):
    async def load(self):
        self.session = load_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = payload.inputs[0]
        array = numpy.asarray(x.data, dtype=numpy.float32).reshape(x.shape)
        y = self.session.run(["y"], {"x": array})[0]
        output = ResponseOutput(name="y", shape=list(y.shape), datatype="FP32", data=y.ravel().tolist())
        return InferenceResponse(model_name=self.name, outputs=[output])
