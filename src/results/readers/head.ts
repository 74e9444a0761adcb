/** Characters of the beginning that are enough to recognise a format. */
export const HEAD_LENGTH = 64 * 1024;
