/** A stream is damaged, truncated, foreign, or of an unknown version. */
export class FormatError extends Error {
  /**
   * @param {string} message
   * @param {string | null} section the name of the damaged section, if one is known
   * @param {number | null} slice the number of the damaged slice, if one is known
   */
  constructor(message, section = null, slice = null) {
    super(message);
    this.name = "FormatError";
    this.section = section;
    this.slice = slice;
  }
}
