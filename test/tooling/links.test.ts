import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = ["README.md", ...readdirSync(path.join(root, "docs")).map((file) => `docs/${file}`)].filter((file) => file.endsWith(".md"));

/** What npm would put into the tarball: a page is read there, too. */
const packed: ReadonlySet<string> = new Set(
  (
    JSON.parse(
      execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
        cwd: root,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
    ) as readonly [{ readonly files: readonly { readonly path: string }[] }]
  )[0].files.map((file) => file.path),
);

describe.each(pages)("%s", (page) => {
  const text = readFileSync(path.join(root, page), "utf8").replaceAll(/^```.*?^```/gms, "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? "").filter((link) => !/^https?:/.test(link));

  test("is in the package, and so is every page that it links to", () => {
    expect(packed).toContain(page);
    const targets = links.map((link) => link.split("#", 1)[0] ?? "").filter((link) => link !== "");
    const dead = targets.filter((target) => !packed.has(path.posix.join(path.posix.dirname(page), target)));
    expect(dead).toEqual([]);
  });

  test("links to headings that exist", () => {
    const dead = links.filter((link) => {
      const [target = "", anchor] = link.split("#", 2);
      if (anchor === undefined) return false;
      const file = target === "" ? page : path.posix.join(path.posix.dirname(page), target);
      return !anchorsOf(readFileSync(path.join(root, file), "utf8")).includes(anchor);
    });
    expect(dead).toEqual([]);
  });
});

/** As GitHub names headings. */
function anchorsOf(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
