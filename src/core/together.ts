/** One call's place among several that are to do something at one instant. */
export interface Seat {
  /**
   * Waits until whoever has one of the other seats has joined or left; then `act`, of the one who came last, does all
   * parts together. Rejects with what it rejects with.
   */
  join<P>(part: P, act: (parts: readonly P[]) => Promise<void>): Promise<void>;
  /** The others need not wait for this one. Nothing when it has joined. */
  leave(): void;
}

/** Seats for `count` calls of one kind: all give parts of one type. */
export function makeSeats(count: number): readonly Seat[] {
  let open = count;
  let act: ((parts: readonly never[]) => Promise<void>) | undefined;
  const parts: unknown[] = [];
  let begin = (_acted: Promise<void>): void => undefined;
  const done = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const settle = (): void => {
    open--;
    if (open === 0 && act !== undefined) begin(act(parts as never[]));
  };
  return Array.from({ length: count }, () => {
    let taken = false;
    return {
      join: async (part, how) => {
        taken = true;
        parts.push(part);
        act = how;
        settle();
        await done;
      },
      leave: () => {
        if (taken) return;
        taken = true;
        settle();
      },
    };
  });
}
