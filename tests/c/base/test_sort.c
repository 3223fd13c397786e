/*
 * test_sort.c - sorted pairs, and distinct labels with their ranks
 */
#include "base/sort.h"
#include "check.h"

static void test_sort(void)
{
    struct ck_pair pairs[2000];
    u64 labels[1000];
    u32 rank[1000];
    size_t distinct = 1000;

    for (size_t i = 0; i < 1000; i++) {
        pairs[i].key = random_number(50) << random_number(60);
        pairs[i].value = i;
        labels[i] = (u64)0 - 20 + random_number(40);
    }
    ck_sort_pairs(pairs, pairs + 1000, 1000);
    for (size_t i = 1; i < 1000; i++)
        CHECK(pairs[i - 1].key < pairs[i].key ||
              (pairs[i - 1].key == pairs[i].key && pairs[i - 1].value < pairs[i].value));
    {
        u64 original[1000];

        memcpy(original, labels, sizeof(labels));
        CHECK(ck_sort_labels(labels, &distinct, 1, rank));
        for (size_t i = 0; i < 1000; i++)
            CHECK(labels[rank[i]] == original[i]);
        for (size_t i = 1; i < distinct; i++)
            CHECK((int64_t)labels[i - 1] < (int64_t)labels[i]);
    }
}

int main(void)
{
    test_sort();
    return report("sort");
}
