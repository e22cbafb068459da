#include "http/quantity.h"

#include "ticketd/stock.h"
#include "util/scan.h"

static bool pass_token(struct scan *scan, struct text token)
{
    scan_pass_blanks(scan);
    return scan_pass(scan, token);
}

bool quantity_scan(struct text body, int64_t *ret_quantity)
{
    struct scan scan = scan_begin(body);
    uint64_t quantity;

    if (!pass_token(&scan, TEXT("{")) || !pass_token(&scan, TEXT("\"qty\"")) ||
        !pass_token(&scan, TEXT(":")))
        return false;
    scan_pass_blanks(&scan);
    if (!scan_number(&scan, STOCK_QUANTITY_MAX, &quantity) || quantity == 0 ||
        !pass_token(&scan, TEXT("}")))
        return false;
    scan_pass_blanks(&scan);
    *ret_quantity = (int64_t)quantity;
    return scan_is_at_end(&scan);
}
