/** The thread that runs the model: rows in, rows out. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import { parentPort, workerData } from "node:worker_threads";

const session = await InferenceSession.create(workerData as string, { intraOpNumThreads: 1, interOpNumThreads: 1 });

parentPort?.on("message", (x: Float32Array<ArrayBuffer>) => {
  void session.run({ x: new Tensor("float32", x, [x.length / 64, 64]) }).then(({ y }) => {
    parentPort?.postMessage(y?.data);
  });
});
parentPort?.postMessage("ready");
