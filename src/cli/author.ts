import { userInfo } from "node:os";

/** Who is at the keyboard: shown with what they do. Through sudo, who they were before. */
export function authorOf(environment: NodeJS.ProcessEnv = process.env): string {
  const before = environment["SUDO_USER"];
  if (before !== undefined && before !== "") return before;
  try {
    return userInfo().username;
  } catch {
    // An account without an entry in the list of users.
    return `uid-${process.getuid?.() ?? "unknown"}`;
  }
}
