import { systemClock } from "../../src/host/clock.ts";
import { clockConformance } from "./clock.ts";

clockConformance("this machine's", { fresh: () => systemClock, settle: (_clock, work) => work });
