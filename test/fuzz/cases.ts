import * as grpcCases from "./grpc-cases.ts";
import * as httpCases from "./http-cases.ts";
import * as repositoryCases from "./repository-cases.ts";
import type { Random } from "./random.ts";
import type { FuzzCase } from "./target.ts";
import { brokenHttp } from "./wire-cases.ts";

/** Every kind of case, and how often it comes among all. Those that load models take long, so they come seldom. */
const kinds: Readonly<Record<string, readonly [weight: number, run: FuzzCase]>> = {
  wrongMembers: [150, httpCases.wrongMembers],
  wrongJson: [90, httpCases.wrongJson],
  wrongBinary: [110, httpCases.wrongBinary],
  wrongHeader: [50, httpCases.wrongHeader],
  wrongEncoding: [30, httpCases.wrongEncoding],
  wrongAll: [60, httpCases.wrongAll],
  rawRequests: [30, httpCases.rawRequests],
  shapes: [30, httpCases.shapes],
  large: [6, httpCases.large],
  bomb: [1, httpCases.bomb],
  generate: [50, httpCases.generate],
  paths: [70, httpCases.paths],
  settings: [20, httpCases.settings],
  soundRequests: [20, httpCases.soundRequests],
  brokenHttp: [60, brokenHttp],
  strangers: [15, repositoryCases.strangers],
  brokenFolders: [2, repositoryCases.brokenFolders],
  brokenConfigs: [3, repositoryCases.brokenConfigs],
  vanishing: [2, repositoryCases.vanishing],
  overrides: [3, repositoryCases.overrides],
  wrongMessages: [100, grpcCases.wrongMessages],
  wrongBytes: [70, grpcCases.wrongBytes],
  soundMessages: [15, grpcCases.soundMessages],
  anyMethod: [50, grpcCases.anyMethod],
  wrongLoads: [10, grpcCases.wrongLoads],
  largeMessages: [3, grpcCases.largeMessages],
  streams: [25, grpcCases.streams],
  brokenGrpc: [30, grpcCases.brokenGrpc],
  brokenHttp2: [15, grpcCases.brokenHttp2],
};

const total = Object.values(kinds).reduce((sum, [weight]) => sum + weight, 0);

/** The kind of a case. */
export function pickCase(random: Random): readonly [kind: string, run: FuzzCase] {
  let left = random.below(total);
  for (const [kind, [weight, run]] of Object.entries(kinds)) {
    left -= weight;
    if (left < 0) return [kind, run];
  }
  throw new Error("the weights do not add up");
}
