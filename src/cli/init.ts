import type { Command } from "commander";
import type { ProjectFlags } from "./make-project.ts";

const examples = `
Examples:
  npx servable init my-service
  npx servable init my-service --servable ./servable-0.1.0.tgz
`;

/** `servable init`: makes a project with a service, a test and a client. */
export function addInit(program: Command): void {
  program
    .command("init")
    .description("make a project with a service, a test and a client")
    .argument("<folder>", "a new folder; its name becomes the package's")
    .option(
      "--servable <spec>",
      "where the project takes servable from: a version, a tarball, a folder (default: as this one was installed)",
    )
    .option("--no-install", "write the files only")
    .addHelpText("after", examples)
    .action(async (folder: string, flags: ProjectFlags) => {
      const { makeProject } = await import("./make-project.ts");
      await makeProject(folder, flags);
    });
}
