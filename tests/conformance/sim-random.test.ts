import { SimRandom } from "../../src/sim/random.ts";
import { randomConformance } from "./random.ts";

randomConformance("simulated", { fresh: () => new SimRandom(1) });
