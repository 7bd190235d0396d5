export { encodeHandle, handleIno, indexName, statHandle } from './filehandle.js';
export { Layer } from './layer.js';
export {
  isVeiled,
  isWhiteout,
  type Listing,
  list,
  listPlain,
  listSlowly,
  statIsWhiteout,
} from './listing.js';
export { type Marks, NO_MARKS, readMarks } from './marks.js';
export { openForReading, RealDir } from './realdir.js';
export { removeEntry } from './removal.js';
export {
  ACL,
  isReservedName,
  type NameKind,
  type Namespace,
  type Note,
  nameKind,
  noteName,
  OPAQUE_MARK,
  opaqueNames,
  overrideStatName,
  whitedOutName,
  whiteoutFileName,
  XattrNames,
  xattrWhiteoutNames,
} from './spelling.js';
export type { Tally } from './tally.js';
export {
  canBeUnsynced,
  clearUnsynced,
  hasUnsyncedMarks,
  markUnsynced,
  noteUnsynced,
  unmarkUnsynced,
} from './unsynced.js';
export {
  markVolatile,
  openIndex,
  openUpper,
  shareLocks,
  Upper,
  type UpperAbilities,
  unmarkVolatile,
} from './upper.js';
export type { RenameHow, WhiteoutWriter } from './whiteouts.js';
