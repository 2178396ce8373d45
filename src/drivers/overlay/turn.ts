/** Pieces of work one after the other. */
export class Turn {
  #last: Promise<unknown> = Promise.resolve();

  /** Does `work` when all that came before has ended. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
