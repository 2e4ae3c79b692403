import { fileURLToPath } from "node:url";

/** Where a peer's virtual environment is, and its Python. */
export function venvOf(peer: string): { readonly folder: string; readonly python: string } {
  const folder = fileURLToPath(new URL(`./.venv/${peer}`, import.meta.url));
  return { folder, python: `${folder}/bin/python` };
}
