# SPDX-License-Identifier: Apache-2.0
"""lua5.4: the language, its collector, its files, and modules that are loaded at run time."""
from conftest import SIZE, assert_same, execute, once

LUA = "/usr/bin/lua5.4"

LANGUAGE = r"""
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print(fib(20), 7 // 2, 7 % -3, 2 ^ 0.5, 1 << 62, math.maxinteger + 1 == math.mininteger, 10 / 3)
local producer = coroutine.wrap(function() for i = 1, 5 do coroutine.yield(i * i) end return "end" end)
for _ = 1, 6 do io.write(tostring(producer()), " ") end print()
print(pcall(error, {code = 5}), select("#", table.unpack({}, 1, 300)), pcall(function() local x = nil; return x.y end))
local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word:upper() end
table.sort(words) print(table.concat(words, ","))
print(string.format("%q %5.2f %x %s", "a\nb\0c", math.pi, 255, {} ~= nil), ("x"):rep(3, "-"), utf8.char(228, 8364), #utf8.char(8364))
local object = setmetatable({}, {__index = function(_, k) return k .. "!" end, __call = function(_, a) return a + 1 end,
  __close = function() print("closed") end, __gc = function() end})
do local guard <close> = object; print(object.name, object(41)) end
print(string.pack("<i4z", 7, "abc"):byte(1, -1))
local total = 0
for i = 1, 200000 do local t = {i, tostring(i)}; total = total + #t[2] end
collectgarbage("generational"); collectgarbage()
print(total, collectgarbage("count") < 5000)
print(load("return 1 + ...")(41), os.getenv("EDITOR"), os.time({year = 2024, month = 2, day = 29, hour = 12}), os.date("!%F", 86400 * 365))
print(xpcall(function() error("deep") end, function(m) return m:match("deep") end))
print(pcall(string.rep, "x", 1 << 40))
print(select(2, pcall(function() local function f() return f() + 1 end return f() end)):match("stack overflow"))
os.exit(3, true)
"""

FILES = r"""
local name = arg[1]
local out = assert(io.open(name, "w"))
out:setvbuf("full", 4096)
for i = 1, 5000 do out:write(i, "\t", i * i, "\n") end
out:close()
local sum = 0
for line in io.lines(name) do local _, square = line:match("(%d+)\t(%d+)"); sum = sum + square end
local f = io.open(name, "rb"); print(sum, f:seek("end"), f:seek("set", 100), f:read(10), f:read("n")); f:close()
print(io.open("/no/such/file")) print(os.rename(name, name .. ".new"), os.remove(name), os.remove(name .. ".new"))
print(io.read("l"), io.read("n"), io.read("a"))
"""


def check(vigil, tmp_path, text, status):
    source = tmp_path / "script.lua"
    source.write_text(text)
    native = execute([LUA, source, tmp_path / "data"], stdin=b"a line\n42 rest\n", env=vigil.env)
    assert native.status == status, native
    assert_same(vigil.run(LUA, source, tmp_path / "data", stdin=b"a line\n42 rest\n", options=SIZE), native)


@once
def test_language(vigil, tmp_path):
    check(vigil, tmp_path, LANGUAGE, 3)


def test_files(vigil, tmp_path):
    check(vigil, tmp_path, FILES, 0)
