import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: ["tests/clean-run.ts"],
    setupFiles: ["tests/seed.ts"],
    include: ["src/**/*.test.ts", "tests/**/*.test.ts"],
    // Two cores; the real tests start engines and mount file systems.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
