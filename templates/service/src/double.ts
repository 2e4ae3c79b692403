import { defineService } from "servable";
import { z } from "zod";

export const double = defineService({
  name: "double",
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  example: { x: 1 },
  call: ({ x }) => ({ y: 2 * x }),
});
