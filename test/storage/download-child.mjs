/** Downloads one artifact and prints where it is: what several processes do at the same time. */
import { downloadArtifact } from "servable/triton";

const [uri, folder] = process.argv.slice(2);
const artifact = await downloadArtifact(uri, { folder });
console.log(artifact.folder);
