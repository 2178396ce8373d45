import { SimClock } from "../../src/sim/clock.ts";
import { clockConformance } from "./clock.ts";

clockConformance("simulated", {
  fresh: () => new SimClock(),
  settle: (clock, work) => (clock as SimClock).run(work),
});
