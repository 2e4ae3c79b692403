import type { AnyServiceDefinition } from "../../service/definition.ts";

const speaksJson = ({ mediaTypes }: { readonly mediaTypes: readonly string[] }): boolean => mediaTypes.includes("application/json");

/** Why a service has no batch route, whose inputs and answers are JSON; undefined where it has one. */
export function whyNoBatch({ inputStream, request, response }: AnyServiceDefinition): string | undefined {
  if (inputStream) return "takes a stream";
  return request.some(speaksJson) && response.some(speaksJson) ? undefined : "does not speak JSON";
}
