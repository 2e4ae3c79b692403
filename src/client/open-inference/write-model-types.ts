import { ServableError } from "../../errors.ts";
import type { ModelMetadata, TensorMetadata } from "../../protocol/model-info.ts";
import { isDataType } from "../../tensor/data-type.ts";

/** What types are written of: a model's metadata, and which of its inputs may be left out, which only its configuration tells. */
export interface ModelTypesSource extends Pick<ModelMetadata, "name" | "inputs" | "outputs"> {
  /** @default none */
  readonly optionalInputs?: readonly string[] | undefined;
}

/**
 * Writes the types of models as the text of a `.d.ts`, which exports `Models` for `new OpenInferenceClient<Models>(…)`. After that a wrong name, data
 * type or rank does not compile.
 *
 * @throws ServableError `invalid_argument` for a data type that does not exist
 */
export function modelTypes(models: readonly ModelTypesSource[]): string {
  const sorted = [...models].sort((a, b) => (a.name < b.name ? -1 : 1));
  const members = sorted.map(({ name, inputs, outputs, optionalInputs }) =>
    [
      `  readonly ${key(name)}: {`,
      ...tensors(name, "inputs", inputs, new Set(optionalInputs)),
      ...tensors(name, "outputs", outputs, new Set()),
      "  };",
    ].join("\n"),
  );
  return `// Written by \`servable triton types\`.\n\n/** The models of a server, for OpenInferenceClient. */\nexport interface Models {\n${members.join("\n")}\n}\n`;
}

function tensors(model: string, what: string, list: readonly TensorMetadata[], optional: ReadonlySet<string>): string[] {
  const members = list.flatMap(({ name, datatype, shape }) => {
    if (!isDataType(datatype)) {
      throw new ServableError("invalid_argument", `'${name}' of the model '${model}' is of ${datatype}, which is no data type.`);
    }
    const rank = `readonly [${shape.map(() => "number").join(", ")}]`;
    return [
      `      /** ${datatype} [${shape.join(", ")}] */`,
      `      readonly ${key(name)}${optional.has(name) ? "?" : ""}: { readonly dataType: "${datatype}"; readonly shape: ${rank} };`,
    ];
  });
  return [`    readonly ${what}: {`, ...members, "    };"];
}

function key(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}
