import type { Command } from "commander";
import { addModelFlags, type ModelFlags } from "./models/flags.ts";

const examples = `
Examples:
  servable models --model-repository ./models
  servable models --model-repository=./models --http-port=9000 --allow-grpc=false
  servable models --model-repository ./models --model-control-mode explicit --load-model mlp

The flags of tritonserver keep their names and meaning. Only the default address is another one: 127.0.0.1.
`;

/** `servable models`: serves a Triton model repository. */
export function addModels(program: Command): void {
  const command = program
    .command("models")
    .description("serve a Triton model repository, over HTTP and gRPC")
    .addHelpText("after", examples)
    .action(async (flags: ModelFlags) => {
      const [{ planOf }, { serveModels }] = await Promise.all([import("./models/plan.ts"), import("./models/serve-models.ts")]);
      await serveModels(planOf(flags));
    });
  addModelFlags(command);
}
