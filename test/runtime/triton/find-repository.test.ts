import { afterEach, expect, test, vi } from "vitest";
import { findRepository } from "../../../src/runtime/triton/find-repository.ts";
import { sha256, smallArchive, withFolder, withServer } from "../../storage/support.ts";
import { keepLog, type LogLine } from "../../support/serving.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

test("a download that takes long says in the log how far it is, without what is secret in its address", async () => {
  const archive = await smallArchive();
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => (now += 6_000));
  await withServer(
    (_, response) => response.writeHead(200, { "content-length": archive.byteLength }).end(archive),
    async (url) => {
      await withFolder(async (folder) => {
        const lines: LogLine[] = [];
        const artifact = `${url}/x.tar.gz?sig=SECRET`;
        const { signal } = new AbortController();
        const found = await findRepository({ artifact, download: { folder } }, keepLog(lines), signal);
        expect(found).toEqual({ folder: expect.stringContaining(sha256(archive)) as string, isUsers: false });
        const steps = lines.filter(({ message }) => message === "the artifact is on its way");
        expect(steps[0]?.fields).toMatchObject({ stage: "download", bytes: archive.byteLength, total: archive.byteLength });
        expect(JSON.stringify(lines)).not.toContain("SECRET");
        // One who listens himself is told instead.
        const heard: string[] = [];
        const other = { folder: `${folder}/other`, onProgress: ({ stage }: { readonly stage: string }) => heard.push(stage) };
        lines.length = 0;
        await findRepository({ artifact, download: other }, keepLog(lines), signal);
        expect(heard[0]).toBe("download");
        expect(lines.map(({ message }) => message)).toEqual(["the artifact is there"]);
      });
    },
  );
});
