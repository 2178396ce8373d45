import { never } from "../../src/sim/incarnation.ts";
import { SimMachine } from "../../src/sim/machine.ts";
import { execConformance } from "./exec.ts";

execConformance("simulated", {
  fresh: async () => {
    const machine = new SimMachine({ seed: 1 });
    const { commands, clock } = machine;
    commands.set("leave", ([code, stdout = "", stderr = ""]) => ({
      ...{ code: Number(code), stdout, stderr },
    }));
    commands.set("echo", (args) => ({
      ...{ code: 0, stdout: args.map((arg) => `${arg}\n`).join(""), stderr: "" },
    }));
    commands.set("forever", never);
    commands.set("flood", ([bytes]) => {
      const output = "x".repeat(Number(bytes));
      return { code: 0, stdout: output, stderr: output };
    });
    return {
      exec: machine.start().exec,
      settle: (work) => clock.run(work),
      leave: ({ code, stdout, stderr }) => ["leave", `${code}`, stdout, stderr],
      echo: (...args) => ["echo", ...args],
      forever: ["forever"],
      flood: (bytes) => ["flood", `${bytes}`],
      cleanup: async () => machine.crash(),
    };
  },
});
