import { definePipeline, ImageHandler } from "servable";
import { z } from "zod";
import { Detect } from "./detect.ts";
import { Recognize } from "./recognize.ts";

const line = z.object({
  text: z.string(),
  score: z.number().min(0).max(1).describe("how sure the model is of the characters"),
  box: z
    .array(z.tuple([z.number(), z.number()]))
    .length(4)
    .describe("corners in pixels, clockwise from the top left one"),
});

/** Reads the text in a picture: detection, then recognition, each with a model of its own. */
export const ocr = definePipeline({
  name: "ocr",
  description: "Reads the text in a picture (PNG, JPEG, WebP …) and says where each line stands.",
  request: new ImageHandler({ field: "image" }),
  output: z.object({ lines: z.array(line).describe("in reading order") }),
  model: true,
  steps: [Detect, [Recognize, { batchSize: 4 }]],
});
