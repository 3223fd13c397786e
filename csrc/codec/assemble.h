/*
 * assemble.h - parts -> a stream
 */
#ifndef CK_ASSEMBLE_H
#define CK_ASSEMBLE_H

#include "part.h"

/*
 * Writes a labels section of pins, as an alternative to flat labels.  'unique' are the labels, ascending; the function
 * may change them.  'counts' are the components per slice.
 */
struct ck_pins_writer {
    void *self;
    crackle_status (*write)(void *self, u64 *unique, size_t num_unique, unsigned int stored_width, const u64 *counts,
                            struct ck_bytes *out);
};

/* crackle_assemble() with the pins of 'pins', unless it is NULL. */
crackle_status ck_assemble(const struct crackle_volume *volume, const struct crackle_options *options,
                           crackle_part *const *parts, size_t num_parts, const volatile int32_t *stop,
                           const struct ck_pins_writer *pins, u8 **out_ret, size_t *out_nbytes_ret);

#endif /* CK_ASSEMBLE_H */
