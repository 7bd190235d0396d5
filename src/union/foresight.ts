// Are files that are opened read as well? If they are, the content is best handed over with the open; if not, opening the real
// file is work for nothing. Learned from opens that get neither: whether a READ follows shows then.

/** While files are read, one open of so many gets nothing. */
const SAMPLE_OPENS = 32;
/** So many of these in a row end without a READ: files are not being read. */
const UNREAD = 2;

export class Foresight {
  private reads = true;
  private opens = 0;
  private unread = 0;

  /** Will the file that is being opened be read? If this says no, `wasRead` or `wasNot` is to be told. */
  readsNext(): boolean {
    return this.reads && ++this.opens % SAMPLE_OPENS !== 0;
  }

  wasRead(): void {
    this.unread = 0;
    this.reads = true;
  }

  wasNot(): void {
    if (++this.unread >= UNREAD) this.reads = false;
  }
}
