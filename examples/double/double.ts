import { defineService } from "servable";
import { z } from "zod";
export const double = defineService({
  name: "double",
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  call: ({ x }) => ({ y: 2 * x }),
});
