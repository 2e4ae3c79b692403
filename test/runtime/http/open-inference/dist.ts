/** Of dist/, as it is started: a model's workers are compiled modules. */
export { ModelHttpServer } from "servable/http";
export { ModelRepositoryServer } from "servable/server";
