import { Option, type Command } from "commander";
import { wholeNumber } from "./flags.ts";

interface ConfigFlags {
  readonly check?: true;
  readonly output?: string;
  readonly force?: true;
  readonly name?: string;
  readonly maxBatchSize?: number;
}

interface TypesFlags {
  readonly url?: string;
  readonly token?: string;
}

const configExamples = `
Examples:
  servable triton config mlp.onnx                       print the config.pbtxt of a model
  servable triton config mlp.onnx --output config.pbtxt
  servable triton config ./models                       write those that a repository lacks
  servable triton config --check ./models               say all that is wrong with a repository

With --check the exit code is 3 where something is wrong.
`;
const typesExamples = `
Examples:
  servable triton types ./models > models.d.ts
  servable triton types --url http://127.0.0.1:8000 > models.d.ts

In code: new OpenInferenceClient<Models>(url), with Models of that file.
`;

/** `servable triton`: what helps with Triton's model repositories. */
export function addTriton(program: Command): void {
  const triton = program.command("triton").description("configurations and types of Triton's model repositories");
  triton
    .command("config")
    .description("write config.pbtxt from a model, or check a repository")
    .argument("<path>", "an .onnx file, a model's folder, or a repository")
    .option("--check", "write nothing, and say all that is wrong")
    .option("--output <file>", "of a file: write it here instead of standard output")
    .option("--force", "write over what is there")
    .option("--name <name>", "of a file: the model's name (default: that of its folder, or of the file)")
    .addOption(batchOption())
    .addHelpText("after", configExamples)
    .action(async (path: string, flags: ConfigFlags) => {
      const { checkConfigs, writeConfigs } = await import("./triton/config.ts");
      await (flags.check === true ? checkConfigs(path, flags) : writeConfigs(path, flags));
    });
  triton
    .command("types")
    .description("write the TypeScript types of models, for OpenInferenceClient")
    .argument("[repository]", "a model repository")
    .option("--url <url>", "ask a server instead")
    .option("--token <token>", "a bearer token for it (default: $SERVABLE_TOKEN)")
    .addHelpText("after", typesExamples)
    .action(async (repository: string | undefined, flags: TypesFlags) => {
      const { printTypes } = await import("./triton/types.ts");
      await printTypes(repository, flags);
    });
}

function batchOption(): Option {
  return new Option("--max-batch-size <number>", "0 for no batches (default: 4 where the model can have batches)").argParser(
    wholeNumber(0, 2 ** 31 - 1),
  );
}
