import { ServableError } from "../errors.ts";
import type { TritonModelConfig } from "../triton/triton-model-config.ts";

/** What a Triton needs to serve: where its model repository is, as an archive, and the configurations of the models in it. */
export class RunnableTritonConfig {
  /** The URI of a .tar or .tar.gz that holds a model repository, with its SHA-256 at the end (`#sha256=…`) where that is known. */
  readonly modelArtifactUri: string;
  /** The configuration of each model in the repository. */
  readonly configs: readonly TritonModelConfig[];

  /**
   * @param config - of the model, or of each of them
   * @throws ServableError `invalid_argument` where there is none, or two have one name
   */
  constructor(modelArtifactUri: string, config: TritonModelConfig | readonly TritonModelConfig[]) {
    const configs: readonly TritonModelConfig[] = Array.isArray(config) ? config : [config];
    if (modelArtifactUri === "") throw new ServableError("invalid_argument", "modelArtifactUri must say where the archive is.");
    if (configs.length === 0)
      throw new ServableError("invalid_argument", "A RunnableTritonConfig has the configuration of at least one model.");
    const names = configs.map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw new ServableError("invalid_argument", `There are two configurations of the model '${twice}'.`);
    this.modelArtifactUri = modelArtifactUri;
    this.configs = Object.freeze([...configs]);
  }

  /** The configuration of the model; of several, the first one's. */
  get config(): TritonModelConfig {
    const [first] = this.configs;
    if (first === undefined) throw new ServableError("internal", "A RunnableTritonConfig without a model.");
    return first;
  }
}
