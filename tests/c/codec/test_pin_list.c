/* test_pin_list.c - lists of pins -> sections and back, and sections that point outside the volume */
#include "codec/pin_list.h"
#include "volumes.h"

static struct ck_pin_list random_list(const struct crackle_header *h, size_t num_labels, u64 num_components)
{
    const u64 slice_voxels = (u64)h->sx * h->sy;
    struct ck_pin_list list = {NULL, 0, 0, NULL, 0, 0};

    list.num_pins = num_labels ? (size_t)random_number(40) : 0;
    list.num_singles = num_labels ? (size_t)random_number(40) : 0;
    list.pins = malloc((list.num_pins + 1) * sizeof(*list.pins));
    list.singles = malloc((list.num_singles + 1) * sizeof(*list.singles));
    for (size_t i = 0; i < list.num_pins; i++) {
        struct ck_pin *pin = &list.pins[i];

        pin->voxel = random_number(slice_voxels * h->sz);
        pin->depth = (u32)random_number(h->sz - pin->voxel / slice_voxels);
        pin->label = (u32)random_number(num_labels);
    }
    for (size_t i = 0; i < list.num_singles; i++) {
        list.singles[i].component = random_number(num_components);
        list.singles[i].label = (u32)random_number(num_labels);
    }
    return list;
}

static int by_pin(const void *a, const void *b)
{
    const struct ck_pin *p = a, *q = b;

    return p->label != q->label   ? (p->label < q->label ? -1 : 1)
           : p->voxel != q->voxel ? (p->voxel < q->voxel ? -1 : 1)
                                  : (p->depth > q->depth) - (p->depth < q->depth);
}

static int by_single(const void *a, const void *b)
{
    const struct ck_single *p = a, *q = b;

    return p->label != q->label ? (p->label < q->label ? -1 : 1)
                                : (p->component > q->component) - (p->component < q->component);
}

/* Whether two lists have the same elements in any order. */
static int is_same(struct ck_pin_list *a, struct ck_pin_list *b)
{
    if (a->num_pins != b->num_pins || a->num_singles != b->num_singles)
        return 0;
    if (a->num_pins) { /* qsort() takes no NULL */
        qsort(a->pins, a->num_pins, sizeof(*a->pins), by_pin);
        qsort(b->pins, b->num_pins, sizeof(*b->pins), by_pin);
    }
    if (a->num_singles) {
        qsort(a->singles, a->num_singles, sizeof(*a->singles), by_single);
        qsort(b->singles, b->num_singles, sizeof(*b->singles), by_single);
    }
    for (size_t i = 0; i < a->num_pins; i++)
        if (by_pin(&a->pins[i], &b->pins[i]) != 0)
            return 0;
    for (size_t i = 0; i < a->num_singles; i++)
        if (by_single(&a->singles[i], &b->singles[i]) != 0)
            return 0;
    return 1;
}

/* Read the first 'nbytes' of a section. */
static crackle_status read_section(struct crackle_header *h, const u8 *section, size_t nbytes, u64 num_components,
                                   struct ck_label_table *table, struct ck_pin_list *list)
{
    struct ck_pin_list empty = {NULL, 0, 0, NULL, 0, 0};
    u8 *exact = exact_copy(section, nbytes);
    crackle_status status;

    *list = empty;
    h->num_label_bytes = nbytes;
    status = ck_label_table_open(h, exact, table);
    if (status == CRACKLE_OK)
        status = ck_read_pin_list(h, table, num_components, list);
    free(exact);
    return status;
}

enum fault { NONE, VOXEL_OUTSIDE, TOO_DEEP, NO_SUCH_COMPONENT, NUM_FAULTS };

static void test_list(u32 sx, u32 sy, u32 sz, enum fault fault)
{
    const u64 slice_voxels = (u64)sx * sy, voxels = slice_voxels * sz;
    struct crackle_header h = {0};
    u64 unique[30], num_components = sz + random_number(70000);
    const size_t num_labels = fault == NONE ? (size_t)random_number(30) : 1 + (size_t)random_number(29);
    u64 *counts = malloc(sz * sizeof(*counts));
    struct ck_pin_list list, again;
    struct ck_label_table table;
    struct ck_bytes section = {NULL, 0, 0};
    crackle_status status;

    h.sx = sx;
    h.sy = sy;
    h.sz = sz;
    h.data_width = h.stored_width = 2;
    h.label_format = 2;
    h.is_sorted = 1;
    list = random_list(&h, num_labels, num_components);
    if (fault == VOXEL_OUTSIDE || fault == TOO_DEEP) {
        struct ck_pin *pin = &list.pins[list.num_pins++];

        pin->voxel = fault == TOO_DEEP ? random_number(voxels) : voxels + random_number(2 * slice_voxels);
        if (ck_width(pin->voxel) > ck_width(voxels)) /* the section could not store it */
            pin->voxel = voxels;
        pin->depth = fault == TOO_DEEP ? (u32)(sz - pin->voxel / slice_voxels) : 0;
        pin->label = (u32)random_number(num_labels);
    } else if (fault == NO_SUCH_COMPONENT) {
        list.singles[list.num_singles].component = num_components;
        list.singles[list.num_singles++].label = (u32)random_number(num_labels);
    }
    for (size_t i = 0; i < num_labels; i++)
        unique[i] = 7 * i + 1;
    for (u32 z = 0; z < sz; z++)
        counts[z] = 1;
    CHECK(ck_write_pins(&section, 500, unique, num_labels, 2, counts, sz, slice_voxels, &list) == CRACKLE_OK);
    status = read_section(&h, section.data, section.size, num_components, &table, &again);
    if (fault == NONE) {
        CHECK(status == CRACKLE_OK && is_same(&list, &again));
        CHECK(table.has_background && table.background == 500 && table.num_unique == num_labels);
        ck_pin_list_free(&again);

        /* Missing bytes and excess bytes must be detected. */
        for (size_t n = 0; n < section.size; n++) {
            CHECK(read_section(&h, section.data, n, num_components, &table, &again) == CRACKLE_CORRUPT);
            ck_pin_list_free(&again);
        }
        CHECK(ck_bytes_put(&section, 0, 1));
        CHECK(read_section(&h, section.data, section.size, num_components, &table, &again) == CRACKLE_CORRUPT);
    } else {
        CHECK(status == CRACKLE_CORRUPT);
    }
    ck_pin_list_free(&again);
    ck_pin_list_free(&list);
    free(section.data);
    free(counts);
}

int main(void)
{
    for (int round = 0; round < 400; round++)
        test_list((u32)random_number(30) + 1, (u32)random_number(30) + 1, (u32)random_number(round % 2 ? 10 : 700) + 1,
                  (enum fault)(round % NUM_FAULTS));
    return report("pin list");
}
