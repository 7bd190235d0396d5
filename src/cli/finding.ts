// One line of what `lamina doctor` found out.

export interface Finding {
  readonly name: string;
  /** For programs (--json). */
  readonly value: boolean | string | number | null;
  /** For people. */
  readonly shown: string;
  /** What follows from it. */
  readonly meaning: string;
}
