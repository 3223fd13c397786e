/*
 * format.h - every constant of the Crackle byte format
 *
 * docs/format.md explains them.  This file has no algorithms.
 */
#ifndef CK_FORMAT_H
#define CK_FORMAT_H

/* --------------------------------- Header --------------------------------- */

/*
 * offset  0  4  "crkl"
 *         4  1  format version
 *         5  2  format field
 *         7 12  sx, sy, sz
 *        19  1  log2 of the grid size
 *        20  4  (version 0) / 8 (version 1): num_label_bytes
 *        28  1  (version 1) CRC8 of the bytes 5 to 27
 */
#define CK_MAGIC "crkl"
#define CK_MAGIC_NBYTES 4
#define CK_MAX_VERSION 1
#define CK_HEADER_NBYTES_V0 24
#define CK_HEADER_NBYTES_V1 29
#define CK_AT_VERSION 4
#define CK_AT_FORMAT 5
#define CK_AT_SX 7
#define CK_AT_SY 11
#define CK_AT_SZ 15
#define CK_AT_GRID 19
#define CK_AT_LABEL_BYTES 20
#define CK_AT_CRC8 28

/* One grid per slice, whatever the size of the slice. */
#define CK_WHOLE_SLICE_GRID 31

/*
 * The format field, bit 0 the lowest:
 *
 *   15   | 14       | 13       | 12..9        | 8
 *   zero | remapped | UNsorted | Markov order | signed
 *
 *   7       | 6 5          | 4           | 3 2          | 1 0
 *   F order | label format | permissible | log2(stored) | log2(data)
 */
#define CK_BIT_DATA_WIDTH 0
#define CK_BIT_STORED_WIDTH 2
#define CK_BIT_PERMISSIBLE 4
#define CK_BIT_LABEL_FORMAT 5
#define CK_BIT_FORTRAN 7
#define CK_BIT_SIGNED 8
#define CK_BIT_MARKOV_ORDER 9
#define CK_BIT_UNSORTED 13
#define CK_BIT_REMAPPED 14 /* read and ignored: boundaries may lie between equal labels, with or without this bit */
#define CK_BIT_RESERVED 15

#define CK_LABELS_FLAT 0
#define CK_LABELS_FIXED_PINS 1 /* described, but no writer is known */
#define CK_LABELS_PINS 2

/* ------------------------------ Crack codes ------------------------------- */

/* The direction of a step between vertices; opposite directions differ by 2. */
#define CK_UP 0
#define CK_RIGHT 1
#define CK_DOWN 2
#define CK_LEFT 3
#define CK_OPPOSITE(codepoint) ((codepoint) ^ 2)

/*
 * Two consecutive opposite codepoints are one control symbol.  The first of them tells which:
 *
 *   UP, DOWN  or LEFT, RIGHT   BRANCH      push this vertex: the chain continues from it later
 *   DOWN, UP  or RIGHT, LEFT   TERMINATE   end this stretch, and continue from the vertex pushed last
 */
#define CK_IS_BRANCH(first) ((first) == CK_UP || (first) == CK_LEFT)

/* ------------------------------ Markov model ------------------------------ */

#define CK_BITS_PER_MARKOV_ROW 5
#define CK_PERMUTATIONS 24

/* ------------------------------- Checksums -------------------------------- */

#define CK_CRC_NBYTES 4

#endif /* CK_FORMAT_H */
