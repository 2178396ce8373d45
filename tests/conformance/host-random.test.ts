import { systemRandom } from "../../src/host/random.ts";
import { randomConformance } from "./random.ts";

randomConformance("this machine's", { fresh: () => systemRandom });
