import numpy
from mosec import Server, Worker

from model import load_model


class Predict(Worker):
    def __init__(self):
        super().__init__()
        self.session = load_model()

    def forward(self, data):
        x = numpy.asarray([request["x"] for request in data], dtype=numpy.float32)
        return [{"y": row.tolist()} for row in self.session.run(["y"], {"x": x})[0]]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Predict, num=1, max_batch_size=16, max_wait_time=1)
    server.run()
