import { Service, Tensor, type DecodedImage, type ServiceContext } from "servable";
import { findRegions, type Region } from "./boxes.ts";
import { resize, writeChannels } from "./image.ts";
import { detectionModel, loaded, loadModel, type ArrayModel } from "./models.ts";
import { inReadingOrder } from "./reading-order.ts";
import { scale } from "./rectangle.ts";

/** How lines are looked for. */
export interface DetectOptions {
  /** Larger pictures are shrunk until their longer side has this many pixels. @default 1280 */
  readonly maxSide?: number | undefined;
  /** @default 1 */
  readonly intraOpThreads?: number | undefined;
}

/** A picture and where its lines of text are, in reading order. */
export interface Detected {
  readonly image: DecodedImage;
  readonly regions: readonly Region[];
}

/** The model halves the picture five times, and doubles it again. */
const sideStep = 32;
/** Of ImageNet, on which the model's first layers were trained. */
const normalisation = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** First step: finds the lines of text in a picture. */
export class Detect extends Service<DecodedImage, Detected> {
  readonly #maxSide: number;
  readonly #intraOpThreads: number;
  #model: ArrayModel | undefined;

  constructor(options: DetectOptions = {}) {
    super();
    this.#maxSide = options.maxSide ?? 1280;
    this.#intraOpThreads = options.intraOpThreads ?? 1;
  }

  override async setup(): Promise<void> {
    this.#model = await loadModel(detectionModel, this.#intraOpThreads);
  }

  override async call(image: DecodedImage, { signal }: ServiceContext): Promise<Detected> {
    const factor = Math.min(1, this.#maxSide / Math.max(image.width, image.height));
    const width = Math.max(1, Math.round(image.width * factor));
    const height = Math.max(1, Math.round(image.height * factor));
    // Filled up rather than stretched, so that one factor leads back to the picture.
    const padded = await resize(image, width, height, { right: missing(width), below: missing(height) });
    const pixels = new Float32Array(3 * padded.width * padded.height);
    writeChannels(padded, normalisation, pixels);
    const output = await loaded(this.#model).run(new Tensor("FP32", [1, 3, padded.height, padded.width], pixels), { signal });
    const regions = findRegions({ width: padded.width, height: padded.height, data: output.as("FP32").data });
    return { image, regions: inReadingOrder(regions.map((region) => ({ ...region, rectangle: scale(region.rectangle, 1 / factor) }))) };
  }

  override async close(): Promise<void> {
    await this.#model?.close();
  }
}

function missing(length: number): number {
  return Math.ceil(length / sideStep) * sideStep - length;
}
