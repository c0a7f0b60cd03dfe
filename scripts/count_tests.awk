# Reads CTest's JUnit report, prints "PASSED FAILED SKIPPED"; names what failed on the error output.
#
# A program that says "test cases: 5 | 4 passed | 1 failed" counts for its test cases, any other for one. One that was
# left out on purpose (exit status 77) is skipped; one that was never built, or died before it could say how it went,
# has failed.
function close_test() {
  if (name == "") return
  if (status == "notrun" && deliberate) skipped++
  else if (said && (status == "run" || cases_failed > 0)) { passed += cases_passed; failed += cases_failed }
  else if (status == "run") passed++
  else { failed++; passed += cases_passed }
  if (status != "run" && !(status == "notrun" && deliberate)) print "FAILED " name > "/dev/stderr"
  name = ""
}
/<testcase / {
  close_test()
  match($0, / name="[^"]*"/);   name = substr($0, RSTART + 7, RLENGTH - 8)
  match($0, / status="[^"]*"/); status = substr($0, RSTART + 9, RLENGTH - 10)
  said = deliberate = cases_passed = cases_failed = 0
}
/<skipped message="SKIP_RETURN_CODE/ { deliberate = 1 }
/test cases: *[0-9]+ *\|/ {
  line = $0
  sub(/.*test cases:/, "", line)
  split(line, part, "|")
  said = 1
  cases_passed += part[2]
  cases_failed += part[3]
}
END { close_test(); print passed + 0, failed + 0, skipped + 0 }
