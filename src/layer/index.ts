export { encodeHandle, handleIno, indexName, statHandle } from './filehandle.js';
export { Layer } from './layer.js';
export { isVeiled, isWhiteout, type Listing, list, listSlowly, statIsWhiteout } from './listing.js';
export { type Marks, readMarks } from './marks.js';
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
export { markVolatile, openIndex, openUpper, Upper, type UpperAbilities, unmarkVolatile } from './upper.js';
export type { RenameHow, WhiteoutWriter } from './whiteouts.js';
