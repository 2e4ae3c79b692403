import { ServableError, type FieldIssue } from "../errors.ts";
import { modelConfigType } from "./config-table.ts";
import type { ModelInput, ModelOutput, TensorFormat, TritonDataType } from "./model-config.ts";
import { isDimension } from "./rules/shapes.ts";
import { writeMessage } from "./write-pbtxt.ts";

/** Something that has a form in protobuf's text format. */
export abstract class ToProtobufText {
  /** The text. */
  abstract asPbtext(): string;
}

/** What the elements of a tensor can be: every data type but `TYPE_INVALID`. */
export type TensorDataType = Exclude<TritonDataType, "TYPE_INVALID">;

const inputType = modelConfigType.spec.input.kind;

/**
 * A tensor of a model but for its name: data type, layout, and dimensions without the batch's axis.
 *
 * @example
 * ```ts
 * import { EnrichedTensor } from "servable/triton";
 *
 * const image = new EnrichedTensor("TYPE_FP32", "FORMAT_NCHW", [3, 224, 224]);
 * ```
 */
export class EnrichedTensor extends ToProtobufText {
  readonly dataType: TensorDataType;
  readonly format: TensorFormat;
  readonly dims: readonly number[];

  /**
   * @param dataType - Such as `TYPE_FP32`.
   * @param format - `FORMAT_NHWC` and `FORMAT_NCHW` are images, which have three dimensions; else `FORMAT_NONE`.
   * @param dims - Each 1 or more, or -1 for any length.
   * @throws ServableError `invalid_config` that says which of them is impossible and why.
   */
  constructor(dataType: TensorDataType, format: TensorFormat, dims: readonly number[]) {
    super();
    const issues = [...typeIssues(dataType), ...formatIssues(format, dims), ...dimsIssues(dims)];
    if (issues.length > 0) {
      const text = issues.map(({ path, message }) => `${path.join("")} ${message}`).join("; ");
      throw new ServableError("invalid_config", `No tensor can be like this: ${text}.`, { issues });
    }
    this.dataType = dataType;
    this.format = format;
    this.dims = Object.freeze([...dims]);
  }

  /** The fields of `ModelInput`, without brackets around them. */
  override asPbtext(): string {
    return writeMessage(inputType, this.asInput());
  }

  /** As an input of a configuration. */
  asInput(): ModelInput {
    const format = this.format === "FORMAT_NONE" ? {} : { format: this.format };
    return { dataType: this.dataType, ...format, dims: this.dims };
  }

  /** As an output of a configuration, which tells no layout. */
  asOutput(): ModelOutput {
    return { dataType: this.dataType, dims: this.dims };
  }
}

/** A tensor with its name: an input or output of a {@link TritonModelConfig}. */
export class TritonTensor extends EnrichedTensor {
  readonly name: string;

  /**
   * @param name - As the model calls it.
   * @param dataType - See {@link EnrichedTensor}, as for the others.
   */
  constructor(name: string, dataType: TensorDataType, format: TensorFormat, dims: readonly number[]) {
    super(dataType, format, dims);
    if (typeof name !== "string" || name === "") {
      throw new ServableError("invalid_config", "No tensor can be like this: name must be given.", {
        issues: [{ path: ["name"], message: "must be given" }],
      });
    }
    this.name = name;
  }

  override asInput(): ModelInput {
    return { name: this.name, ...super.asInput() };
  }

  override asOutput(): ModelOutput {
    return { name: this.name, ...super.asOutput() };
  }
}

function typeIssues(dataType: string): FieldIssue[] {
  const known = Object.keys(inputType.spec.dataType.kind.values).filter((name) => name !== "TYPE_INVALID");
  return known.includes(dataType)
    ? []
    : [{ path: ["dataType"], message: `must be one of ${known.join(", ")}, not ${JSON.stringify(dataType)}` }];
}

function formatIssues(format: string, dims: unknown): FieldIssue[] {
  const path = ["format"];
  const known = Object.keys(inputType.spec.format.kind.values);
  if (!known.includes(format)) return [{ path, message: `must be one of ${known.join(", ")}, not ${JSON.stringify(format)}` }];
  if (format === "FORMAT_NONE" || !Array.isArray(dims) || dims.length === 3) return [];
  return [{ path, message: `${format} needs 3 dims, and there are ${dims.length}` }];
}

function dimsIssues(dims: readonly number[]): FieldIssue[] {
  const path = ["dims"];
  const given: unknown = dims;
  if (!Array.isArray(given)) return [{ path, message: "must be a list" }];
  if (dims.length === 0) return [{ path, message: "must have at least one dimension" }];
  const wrong = dims.find((length) => !isDimension(length));
  return wrong === undefined ? [] : [{ path, message: `must each be a whole number of 1 or more, or -1 for any length, not ${wrong}` }];
}
