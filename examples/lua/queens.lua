-- SPDX-License-Identifier: Apache-2.0
-- How many ways there are to put n queens on a board.
local n = tonumber(arg[1] or 8)
local count, rows, rising, falling = 0, {}, {}, {}
local function place(column)
  if column > n then count = count + 1 return end
  for row = 1, n do
    if not (rows[row] or rising[row + column] or falling[row - column]) then
      rows[row], rising[row + column], falling[row - column] = true, true, true
      place(column + 1)
      rows[row], rising[row + column], falling[row - column] = nil, nil, nil
    end
  end
end
place(1)
print(("%d ways for %d queens, %s"):format(count, n, _VERSION))
