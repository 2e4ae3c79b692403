import { createClient } from "servable/client";
import type { double } from "./double.ts";

// Only the type of the service is imported: its code stays on the server.
const client = createClient<typeof double>(process.env["SERVABLE_URL"] ?? "http://127.0.0.1:3000");

const { y } = await client.double({ x: 21 });
console.log(y);
