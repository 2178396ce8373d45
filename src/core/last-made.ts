/**
 * `make`, which is asked again only when what it is made of is another object: for what is derived of a list that stays
 * the same from one page to the next.
 */
export function lastMade<A extends readonly object[], B>(make: (...of: A) => B): (...of: A) => B {
  let last: { readonly of: A; readonly made: B } | undefined;
  return (...of) => {
    if (last === undefined || last.of.some((one, at) => one !== of[at])) {
      last = { of, made: make(...of) };
    }
    return last.made;
  };
}
