// The change time of a directory that got a copied-up entry. Nobody has changed it, so it keeps the time that it showed (tar takes
// a file whose change time moves under it for changed), and the kernel need not ask for its attributes after each copy.
import type { Stat } from '../base/index.js';
import type { Dir } from './node.js';

/** A change time (ctime) and its nanoseconds. */
interface Moment {
  readonly sec: number;
  readonly nsec: number;
}

/** While the real directory's change time is `real`, `shown` is shown. */
export interface KeptChangeTime {
  readonly real: Moment;
  readonly shown: Moment;
}

function changed(stat: Stat): Moment {
  return { sec: stat.ctime, nsec: stat.ctimeNsec };
}

/** An entry was added without a change that users made: the real directory's attributes `before` and `after` it. */
export function keepChangeTime(dir: Dir, before: Stat, after: Stat): void {
  showChangeTime(dir, before);
  dir.keptChangeTime = { real: changed(after), shown: changed(before) };
}

/** Puts the change time that the directory shows into its real attributes. */
export function showChangeTime(dir: Dir, stat: Stat): void {
  const kept = dir.keptChangeTime;
  if (kept === null) return;
  if (stat.ctime !== kept.real.sec || stat.ctimeNsec !== kept.real.nsec) {
    // Changed since.
    dir.keptChangeTime = null;
    return;
  }
  stat.ctime = kept.shown.sec;
  stat.ctimeNsec = kept.shown.nsec;
}
