/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/mm/vma.h"

#include <stddef.h>

#define MAX_HEIGHT 48 /* an AVL tree of height 48 has more than 2^33 nodes */

static int height(const struct vma *v)
{
    return v ? v->height : 0;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The summary of a subtree depends on its own nodes only, never on neighbours outside it. */
static void update(struct vma *v)
{
    int l = height(v->left), r = height(v->right);

    v->height = 1 + (l > r ? l : r);
    v->low = v->left ? v->left->low : v->start;
    v->high = v->right ? v->right->high : v->end;
    v->gap = 0;
    if (v->left)
        v->gap = max(v->left->gap, v->start - v->left->high);
    if (v->right)
        v->gap = max(v->gap, max(v->right->gap, v->right->low - v->end));
}

static struct vma *rotate_right(struct vma *v)
{
    struct vma *top = v->left;

    v->left = top->right;
    top->right = v;
    update(v);
    update(top);
    return top;
}

static struct vma *rotate_left(struct vma *v)
{
    struct vma *top = v->right;

    v->right = top->left;
    top->left = v;
    update(v);
    update(top);
    return top;
}

static struct vma *balance(struct vma *v)
{
    int slope = height(v->left) - height(v->right);

    if (slope > 1) {
        if (height(v->left->left) < height(v->left->right))
            v->left = rotate_left(v->left);
        return rotate_right(v);
    }
    if (slope < -1) {
        if (height(v->right->right) < height(v->right->left))
            v->right = rotate_right(v->right);
        return rotate_left(v);
    }
    update(v);
    return v;
}

/* The links from the root down to the node at start (or to the empty place where it belongs). */
struct path {
    struct vma **link[MAX_HEIGHT];
    int depth;
};

static void descend(struct vma_set *set, uint64_t start, struct path *path)
{
    struct vma **link = &set->root;

    path->depth = 0;
    for (;;) {
        path->link[path->depth++] = link;
        if (!*link || (*link)->start == start)
            return;
        link = start < (*link)->start ? &(*link)->left : &(*link)->right;
    }
}

static void rebalance(struct path *path)
{
    while (path->depth--)
        if (*path->link[path->depth])
            *path->link[path->depth] = balance(*path->link[path->depth]);
}

void vma_insert(struct vma_set *set, struct vma *vma)
{
    struct path path;

    vma->left = vma->right = NULL;
    descend(set, vma->start, &path);
    *path.link[path.depth - 1] = vma;
    rebalance(&path);
    set->count++;
    set->bytes += vma->end - vma->start;
}

void vma_remove(struct vma_set *set, struct vma *vma)
{
    struct path path;

    descend(set, vma->start, &path);
    if (vma->left && vma->right) {
        /* The next area takes its place. The link below this node moves with it. */
        int here = path.depth - 1;
        struct vma **link = &vma->right;
        path.link[path.depth++] = link;
        while ((*link)->left) {
            link = &(*link)->left;
            path.link[path.depth++] = link;
        }
        struct vma *next = *link;
        *link = next->right;
        next->left = vma->left;
        next->right = vma->right;
        *path.link[here] = next;
        path.link[here + 1] = &next->right;
    } else {
        *path.link[path.depth - 1] = vma->left ? vma->left : vma->right;
    }
    rebalance(&path);
    set->count--;
    set->bytes -= vma->end - vma->start;
}

void vma_resize(struct vma_set *set, struct vma *vma, uint64_t start, uint64_t end)
{
    struct path path;

    descend(set, vma->start, &path);
    set->bytes += (end - start) - (vma->end - vma->start);
    vma->start = start;
    vma->end = end;
    rebalance(&path);
}

struct vma *vma_find(const struct vma_set *set, uint64_t addr)
{
    struct vma *best = NULL;

    for (struct vma *v = set->root; v;) {
        if (addr < v->end) {
            best = v;
            v = v->left;
        } else {
            v = v->right;
        }
    }
    return best;
}

struct vma *vma_before(const struct vma_set *set, uint64_t addr)
{
    struct vma *best = NULL;

    for (struct vma *v = set->root; v;) {
        if (v->end <= addr) {
            best = v;
            v = v->right;
        } else {
            v = v->left;
        }
    }
    return best;
}

bool vma_free_range(const struct vma_set *set, uint64_t start, uint64_t end)
{
    const struct vma *v = vma_find(set, start);

    return !v || v->start >= end;
}

/* The highest start in the part of [gap_start, gap_end) that lies inside [low, high). */
static uint64_t fit(uint64_t gap_start, uint64_t gap_end, uint64_t low, uint64_t high, uint64_t length)
{
    if (gap_start < low)
        gap_start = low;
    if (gap_end > high)
        gap_end = high;
    return gap_end > gap_start && gap_end - gap_start >= length ? gap_end - length : 0;
}

/* Gaps between areas of v's subtree, highest first. Depth is the tree's height; a subtree that cannot hold the range is
 * not entered, so only the two edges low and high can make it turn back. */
static uint64_t find_inside(const struct vma *v, uint64_t low, uint64_t high, uint64_t length)
{
    uint64_t found;

    if (!v || v->gap < length || v->high <= low || v->low >= high)
        return 0;
    found = find_inside(v->right, low, high, length);
    if (!found && v->right)
        found = fit(v->end, v->right->low, low, high, length);
    if (!found && v->left)
        found = fit(v->left->high, v->start, low, high, length);
    return found ? found : find_inside(v->left, low, high, length);
}

uint64_t vma_find_gap(const struct vma_set *set, uint64_t low, uint64_t high, uint64_t length)
{
    uint64_t found;

    if (!set->root)
        return fit(low, high, low, high, length);
    found = fit(set->root->high, high, low, high, length);
    if (!found)
        found = find_inside(set->root, low, high, length);
    return found ? found : fit(low, set->root->low, low, high, length);
}
