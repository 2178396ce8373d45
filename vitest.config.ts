import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: ["tests/clean-run.ts"],
    setupFiles: ["tests/seed.ts"],
    include: ["src/**/*.test.ts", "tests/**/*.test.ts"],
    // Two cores, which others may use too; the real tests start engines and mount file systems.
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 240_000,
  },
});
