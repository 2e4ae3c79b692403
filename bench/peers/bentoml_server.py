import bentoml
import numpy

from model import load_model


@bentoml.service(
    workers=1,
    traffic={"timeout": 60, "max_concurrency": 1024},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Predict:
    def __init__(self):
        self.session = load_model()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=16, max_latency_ms=1000)
    def predict(self, x: numpy.ndarray) -> numpy.ndarray:
        return self.session.run(["y"], {"x": x.astype(numpy.float32)})[0]
